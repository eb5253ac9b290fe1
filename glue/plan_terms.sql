CREATE EXTERNAL TABLE meterlake.plan_terms
LOCATION 's3://LAKE/tables/plan_terms/'
TBLPROPERTIES ('table_type' = 'DELTA');
