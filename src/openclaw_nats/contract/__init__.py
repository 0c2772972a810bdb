"""Every shape that crosses a boundary, declared once: what the API takes and answers, tools' parameters, jobs, routes.

The OpenAPI document, the dashboard's types, the plugin's tool list and the reference pages are made from these structs.
They say what a shape is; what is worked out of it (conditions, templates, patterns) is compiled elsewhere.
"""
