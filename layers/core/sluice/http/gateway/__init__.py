"""HTTP forms of `/v1`: requests, answers, streams."""
