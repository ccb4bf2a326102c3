-- Wait until no other runner migrates this database; held until the session ends. $1 the number all runners agree on.
SELECT pg_advisory_lock($1);
