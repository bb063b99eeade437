"""The Flask side: application factory, error table, authentication, request models, OpenAPI document."""
