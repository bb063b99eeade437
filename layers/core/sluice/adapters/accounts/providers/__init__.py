"""Other sites that say who somebody is."""
