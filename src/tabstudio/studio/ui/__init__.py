"""What every page is made of: the frame around it, charts with their numbers, tables, dialogs."""
