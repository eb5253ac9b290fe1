CREATE EXTERNAL TABLE meterlake.rejects
LOCATION 's3://LAKE/tables/rejects/'
TBLPROPERTIES ('table_type' = 'DELTA');
