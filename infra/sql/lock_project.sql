-- The current settings of a project, and nobody else changes them until the transaction ends. $1 project.
SELECT s.version, s.settings
FROM projects p JOIN project_settings s ON s.project_id = p.project_id AND s.version = p.settings_version
WHERE p.project_id = $1
FOR UPDATE OF p;
