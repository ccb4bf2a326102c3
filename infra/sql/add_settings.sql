-- Make a new version of a project's settings and the current one; its number. $1 project, which is locked, $2 settings.
WITH added AS (
    INSERT INTO project_settings (project_id, version, settings)
    SELECT $1, max(version) + 1, $2 FROM project_settings WHERE project_id = $1
    RETURNING version
)
UPDATE projects SET settings_version = added.version FROM added WHERE project_id = $1 RETURNING settings_version;
