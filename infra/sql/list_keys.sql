-- All keys of a project, the revoked ones too, oldest first; never the key itself, which nobody has but its owner. $1 project.
SELECT encode(key_hash, 'hex') AS key_hash, name, can_read, can_write, created_at, revoked_at
FROM api_keys WHERE project_id = $1 ORDER BY created_at, key_hash;
