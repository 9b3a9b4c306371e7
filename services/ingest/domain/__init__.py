"""What an 835 says: segments to claims, findings and events. Pure: no clock, no I/O."""
