-- Resolve names of derived tables in one generation, until the transaction ends. $1 the search path.
SELECT set_config('search_path', $1, true)
