"""The client of the API. Nothing is re-exported: import the module that you mean."""
