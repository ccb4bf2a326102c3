-- Up to which broker time is every record of every partition folded into the served generation? Null when a partition
-- does not say.
-- Index: offsets_pk. Rows: 1.
SELECT CASE WHEN count(*) = count(o.as_of) THEN min(o.as_of) END AS as_of
  FROM offsets o
 WHERE o.generation = (SELECT g.number FROM generations g WHERE g.state = 'served');
