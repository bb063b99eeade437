"""The system on one machine: launcher, stream relay, upload queue, schedule, and the app with every blueprint."""
