"""How instances of classes are saved: by names that this program knows, never by importing one."""
