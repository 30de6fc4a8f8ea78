"""The pages: each file is one page, with its addresses in ``routes``."""
