-- Some versions of settings, those that exist. $1 projects and $2 versions, pairwise.
SELECT project_id, version, s.settings
FROM project_settings s
JOIN unnest($1::integer[], $2::integer[]) AS wanted (project_id, version) USING (project_id, version);
