"""The pages people see: Flask views, Jinja templates, one style sheet. They call what the JSON API calls.

In the layer, not in a function, because two functions serve them: `web`, and `tokens`, which alone holds the key that
API tokens are signed with.
"""
