-- Stop a key at a time; no row when there is none or it has stopped by then. $1 project, $2 hash, $3 seconds from now.
UPDATE api_keys SET revoked_at = now() + make_interval(secs => $3)
WHERE project_id = $1 AND key_hash = $2 AND (revoked_at IS NULL OR revoked_at > now() + make_interval(secs => $3))
RETURNING key_hash;
