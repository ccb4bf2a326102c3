-- Settings of a project in versions that never change: `post`, because it drops the column that older code reads.
CREATE TABLE project_settings (
    project_id integer NOT NULL CONSTRAINT project_settings_have_project REFERENCES projects,
    version integer NOT NULL CONSTRAINT settings_version_is_positive CHECK (version > 0),
    settings text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT project_settings_pk PRIMARY KEY (project_id, version)
);

-- Records may name any version up to the current one. What they decoded under never differed: the idle limit was the
-- only setting, and it does not take part in decoding. It had no upper bound before.
INSERT INTO project_settings (project_id, version, settings)
SELECT project_id, version,
       CASE idle_limit_seconds WHEN 300 THEN '{}'
            ELSE '{"idle_limit_seconds":' || least(idle_limit_seconds, 604800) || '}' END
FROM projects, generate_series(1, settings_version) AS version;

ALTER TABLE projects DROP COLUMN idle_limit_seconds;

ALTER TABLE projects ADD CONSTRAINT current_settings_exist
    FOREIGN KEY (project_id, settings_version) REFERENCES project_settings (project_id, version);
