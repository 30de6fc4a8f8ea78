"""The ids of a bucket, page by page: what is known of its keys, what is listed of them, and graphs without records."""
