"""What a denial means and when each door closes. Pure: no clock, no file, no framework."""
