"""What otlp.md says of a single span: its tables, as data in the modules `*_tables`, and what applies them. Pure.

`ingest.decode.otlp` is the entry; nothing else outside imports from here.
"""
