"""The room that knows stores: keys, links, one bucket, notifications."""
