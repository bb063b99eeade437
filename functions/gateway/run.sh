#!/bin/sh
# What the Lambda Web Adapter starts and forwards requests to. One environment serves one request at a time; the second
# thread answers the adapter's own readiness check.
exec python3 -m gunicorn --bind "127.0.0.1:${AWS_LWA_PORT:-8080}" --workers 1 --threads 2 --worker-class gthread \
	--timeout 0 --no-control-socket "app:create()"
