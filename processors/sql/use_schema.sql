-- Let this transaction's statements mean the tables of a schema, and of public. One row. Parameter: the schema.
SELECT set_config('search_path', quote_ident($1) || ', public', true)
