-- Take the leader's lock for as long as this session lasts; false when another session has it. One row.
SELECT pg_try_advisory_lock(hashtext('pathline.leader'))
