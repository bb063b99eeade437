"""Payment: who pays, in the grant; and Stripe, by its own library."""
