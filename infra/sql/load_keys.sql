-- Every key that authenticates now, with what it may do and its project's settings. Few rows a project; all of them.
SELECT k.key_hash, k.project_id, k.can_read, k.can_write, p.settings_version, p.idle_limit_seconds
FROM api_keys k JOIN projects p USING (project_id)
WHERE k.revoked_at IS NULL;
