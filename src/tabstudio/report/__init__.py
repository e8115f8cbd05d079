"""What people read: figures in one house style, and pages that are one self-contained file."""
