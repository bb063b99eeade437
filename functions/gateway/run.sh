#!/bin/sh
# The server that the Lambda Web Adapter starts and forwards requests to (docs/adr/0054-gateway-on-lambda.md).
# PYTHONPATH is set because Lambda adds the layer only to its own runtime's path; our packages come before the runtime's.
# One environment serves one request at a time; the second thread answers the adapter's readiness check. The adapter
# closes idle connections after 4 s; this server must not close them earlier, because the adapter might be sending.
cd "${LAMBDA_TASK_ROOT:-.}" || exit 1
PYTHONPATH="${SLUICE_LAYER_DIR:-/opt/python}${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
exec python3 -m gunicorn --bind "127.0.0.1:${AWS_LWA_PORT:-8080}" --workers 1 --threads 2 --worker-class gthread \
	--timeout 0 --keep-alive 75 --no-control-socket "sluice.start:handler"
