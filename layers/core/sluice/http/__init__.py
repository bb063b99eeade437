"""Flask glue: application factory, the error table, authentication, request models, OpenAPI."""
