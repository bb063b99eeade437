"""The one-machine run: launcher, stream relay, schedule, and the app that hosts every blueprint."""
