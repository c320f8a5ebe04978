"""What whoever runs the catalog looks at and mends: entries of the queue that were set aside, and what is measured."""
