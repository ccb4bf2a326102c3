-- The id of the project of that name, made with default settings if missing; one row. $1 name.
WITH made AS (
    INSERT INTO projects (name) VALUES ($1) ON CONFLICT (name) DO NOTHING RETURNING project_id, settings_version
), settled AS (
    INSERT INTO project_settings (project_id, version, settings) SELECT project_id, settings_version, '{}' FROM made
)
SELECT project_id FROM made UNION ALL SELECT project_id FROM projects WHERE name = $1 LIMIT 1;
