"""What runs every minute: see app.py."""
