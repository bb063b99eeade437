"""The pages people see: Flask views, Jinja templates, one style sheet. They use the same services as the JSON API.

They are in the layer, because each function serves the pages of its own subject and so needs no table or key only for
a page.
"""
