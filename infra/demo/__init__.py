"""`sluice demo`: an explained walk through the main functions, over HTTP only, like any client."""
