"""The folder of tables: listing, uploads and previews."""
