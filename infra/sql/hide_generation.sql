-- Drop the views onto derived tables, so that a migration can change those.
SELECT hide_generation()
