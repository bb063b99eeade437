"""Rules of the gateway: admission, buckets, quota, leases, and the forms of an answer."""
