-- Give this transaction's statements a time to wait and work. One row. Parameter: milliseconds, as text.
SELECT set_config('statement_timeout', $1, true)
