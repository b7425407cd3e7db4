"""Raw bank transactions in, enriched tables out. Nothing is re-exported: import the module that you mean."""
