"""What people see: text that is safe to show, tables that fit, and what changes in place."""
