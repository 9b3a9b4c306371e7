"""What happens to a file after its receipt: read, staged, released, followed up."""
