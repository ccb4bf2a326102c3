-- Every key that authenticates now, with what it may do and its project's settings. Few rows a project; all of them,
-- in an order that makes the same keys the same answer.
SELECT k.key_hash, k.project_id, k.can_read, k.can_write, s.version, s.settings
FROM api_keys k
JOIN projects p USING (project_id)
JOIN project_settings s ON s.project_id = p.project_id AND s.version = p.settings_version
WHERE k.revoked_at IS NULL OR k.revoked_at > now()
ORDER BY k.key_hash;
