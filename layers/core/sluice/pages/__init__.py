"""The pages people see: Flask views, Jinja templates, one style sheet. They call what the JSON API calls.

In the layer, not in a function: each function serves the pages of what it does, so that none needs a table or a key
for the sake of a page.
"""
