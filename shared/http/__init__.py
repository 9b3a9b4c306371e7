"""HTTP as every process speaks it: one kind of app, one kind of problem, keys at the door."""
