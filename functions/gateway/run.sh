#!/bin/sh
# What the Lambda Web Adapter starts and forwards requests to (docs/adr/0054-gateway-on-lambda.md). Lambda puts the layer on
# the path of its own Python runtime, not on that of a program it starts: hence PYTHONPATH, ours before the runtime's.
# One environment serves one request at a time; the second thread answers the adapter's own readiness check. Idle
# connections are the adapter's to close, after 4 s: were they closed here first, it might just be sending on one.
cd "${LAMBDA_TASK_ROOT:-.}" || exit 1
PYTHONPATH="${SLUICE_LAYER_DIR:-/opt/python}${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
exec python3 -m gunicorn --bind "127.0.0.1:${AWS_LWA_PORT:-8080}" --workers 1 --threads 2 --worker-class gthread \
	--timeout 0 --keep-alive 75 --no-control-socket "app:create()"
