-- All projects with their current settings and the number of keys that work, in order of the name.
SELECT p.project_id, p.name, p.created_at, s.version, s.settings,
       (SELECT count(*) FROM api_keys k
         WHERE k.project_id = p.project_id AND (k.revoked_at IS NULL OR k.revoked_at > now())) AS key_count
FROM projects p
JOIN project_settings s ON s.project_id = p.project_id AND s.version = p.settings_version
ORDER BY p.name;
