-- Up to which broker time is every record of every partition folded? Null when a partition does not say.
-- Parameters: none. Index: offsets_pk. Rows: 1.
SELECT CASE WHEN count(*) = count(o.as_of) THEN min(o.as_of) END AS as_of
  FROM generations g
  JOIN offsets o ON o.generation = g.number
 WHERE g.state = 'served';
