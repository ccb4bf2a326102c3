-- Current settings of the projects that may have rules of alerts: the text is looked into only after this.
-- No parameters. Index: none, there are few projects.
SELECT p.project_id, s.settings
FROM projects AS p
JOIN project_settings AS s ON s.project_id = p.project_id AND s.version = p.settings_version
WHERE s.settings LIKE '%"alerts":%'
