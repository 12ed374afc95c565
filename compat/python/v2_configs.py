"""alibabacloud-oss-v2: what buckets and objects are set to."""
import alibabacloud_oss_v2 as oss

from harness import REGION, check, equal


def config_cases(client, bucket, refused):
    def put(key, body=b'x'):
        client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))

    def an_object_acl_is_set_and_read_back():
        put('configs/acl')
        told = lambda: client.get_object_acl(oss.GetObjectAclRequest(bucket=bucket, key='configs/acl')).acl
        equal(told(), 'default')
        client.put_object_acl(oss.PutObjectAclRequest(bucket=bucket, key='configs/acl', acl='public-read'))
        equal(told(), 'public-read')
        refused(404, 'NoSuchKey', client.get_object_acl, oss.GetObjectAclRequest(bucket=bucket, key='configs/none'))

    def object_tags_are_set_read_back_and_deleted():
        put('configs/tags')
        tags = oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key='a', value='1'), oss.Tag(key='b', value='x y')]))
        client.put_object_tagging(oss.PutObjectTaggingRequest(bucket=bucket, key='configs/tags', tagging=tags))
        told = client.get_object_tagging(oss.GetObjectTaggingRequest(bucket=bucket, key='configs/tags'))
        equal([(tag.key, tag.value) for tag in told.tag_set.tags], [('a', '1'), ('b', 'x y')])
        head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key='configs/tags'))
        equal(head.tagging_count, 2)
        client.delete_object_tagging(oss.DeleteObjectTaggingRequest(bucket=bucket, key='configs/tags'))

    def a_link_is_put_read_and_read_through():
        put('configs/ünïcode target', b'hello')
        client.put_symlink(oss.PutSymlinkRequest(bucket=bucket, key='configs/link',
                                                 symlink_target='configs/%C3%BCn%C3%AFcode%20target'))
        told = client.get_symlink(oss.GetSymlinkRequest(bucket=bucket, key='configs/link'))
        check(told.target.endswith('target'), told.target)
        read = client.get_object(oss.GetObjectRequest(bucket=bucket, key='configs/link'))
        equal((read.body.content, read.object_type), (b'hello', 'Symlink'))

    def bucket_tags_are_set_read_back_and_filter_the_list():
        tags = oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key='k', value=bucket)]))
        client.put_bucket_tags(oss.PutBucketTagsRequest(bucket=bucket, tagging=tags))
        told = client.get_bucket_tags(oss.GetBucketTagsRequest(bucket=bucket))
        equal([(tag.key, tag.value) for tag in told.tagging.tag_set.tags], [('k', bucket)])
        client.delete_bucket_tags(oss.DeleteBucketTagsRequest(bucket=bucket))

    def cors_rules_are_set_asked_read_back_and_deleted():
        rule = oss.CORSRule(allowed_origins=['http://page.test'], allowed_methods=['PUT'], allowed_headers=['x-oss-*'],
                            expose_headers=['ETag'], max_age_seconds=33)
        client.put_bucket_cors(oss.PutBucketCorsRequest(
            bucket=bucket, cors_configuration=oss.CORSConfiguration(cors_rules=[rule], response_vary=True)))
        told = client.get_bucket_cors(oss.GetBucketCorsRequest(bucket=bucket)).cors_configuration
        equal((told.cors_rules[0].allowed_origins, told.cors_rules[0].max_age_seconds), (['http://page.test'], 33))
        asked = client.option_object(oss.OptionObjectRequest(
            bucket=bucket, key='k', origin='http://page.test', access_control_request_method='PUT',
            access_control_request_headers='x-oss-meta-a'))
        equal(asked.access_control_allow_origin, 'http://page.test')
        refused(403, 'AccessForbidden', client.option_object, oss.OptionObjectRequest(
            bucket=bucket, key='k', origin='http://evil.test', access_control_request_method='PUT'))
        client.delete_bucket_cors(oss.DeleteBucketCorsRequest(bucket=bucket))
        refused(404, 'NoSuchCORSConfiguration', client.get_bucket_cors, oss.GetBucketCorsRequest(bucket=bucket))

    def a_referer_list_is_set_and_read_back():
        def put_list(allow, referers):
            client.put_bucket_referer(oss.PutBucketRefererRequest(
                bucket=bucket, referer_configuration=oss.RefererConfiguration(
                    allow_empty_referer=allow, referer_list=oss.RefererList(referers=referers))))
        put_list(False, ['http://a.test/*'])
        told = client.get_bucket_referer(oss.GetBucketRefererRequest(bucket=bucket)).referer_configuration
        equal((told.allow_empty_referer, told.referer_list.referers), (False, ['http://a.test/*']))
        put_list(True, [])

    def a_website_is_set_read_back_and_deleted():
        client.put_bucket_website(oss.PutBucketWebsiteRequest(
            bucket=bucket, website_configuration=oss.WebsiteConfiguration(
                index_document=oss.IndexDocument(suffix='index.html', support_sub_dir=True, type=0),
                error_document=oss.ErrorDocument(key='error.html', http_status=404))))
        told = client.get_bucket_website(oss.GetBucketWebsiteRequest(bucket=bucket)).website_configuration
        equal((told.index_document.suffix, told.error_document.key), ('index.html', 'error.html'))
        client.delete_bucket_website(oss.DeleteBucketWebsiteRequest(bucket=bucket))
        refused(404, 'NoSuchWebsiteConfiguration', client.get_bucket_website,
                oss.GetBucketWebsiteRequest(bucket=bucket))

    def lifecycle_rules_are_set_read_back_and_deleted():
        rule = oss.LifecycleRule(id='one', prefix='logs/', status='Enabled',
                                 expiration=oss.LifecycleRuleExpiration(days=90),
                                 transitions=[oss.LifecycleRuleTransition(days=30, storage_class='IA')])
        client.put_bucket_lifecycle(oss.PutBucketLifecycleRequest(
            bucket=bucket, lifecycle_configuration=oss.LifecycleConfiguration(rules=[rule])))
        told = client.get_bucket_lifecycle(oss.GetBucketLifecycleRequest(bucket=bucket)).lifecycle_configuration
        equal((told.rules[0].id, told.rules[0].expiration.days, told.rules[0].transitions[0].storage_class),
              ('one', 90, 'IA'))
        client.delete_bucket_lifecycle(oss.DeleteBucketLifecycleRequest(bucket=bucket))
        refused(404, 'NoSuchLifecycle', client.get_bucket_lifecycle, oss.GetBucketLifecycleRequest(bucket=bucket))

    def logging_is_switched_on_and_off():
        client.put_bucket_logging(oss.PutBucketLoggingRequest(
            bucket=bucket, bucket_logging_status=oss.BucketLoggingStatus(
                logging_enabled=oss.LoggingEnabled(target_bucket=bucket, target_prefix='logs/'))))
        told = client.get_bucket_logging(oss.GetBucketLoggingRequest(bucket=bucket)).bucket_logging_status
        equal((told.logging_enabled.target_bucket, told.logging_enabled.target_prefix), (bucket, 'logs/'))
        client.delete_bucket_logging(oss.DeleteBucketLoggingRequest(bucket=bucket))

    def who_pays_is_set_and_read_back():
        for payer in ('Requester', 'BucketOwner'):
            client.put_bucket_request_payment(oss.PutBucketRequestPaymentRequest(
                bucket=bucket, request_payment_configuration=oss.RequestPaymentConfiguration(payer=payer)))
            told = client.get_bucket_request_payment(oss.GetBucketRequestPaymentRequest(bucket=bucket))
            equal(told.request_payment_configuration.payer, payer)

    def what_must_not_be_overwritten_is_set_obeyed_read_back_and_deleted():
        rule = oss.OverwriteRule(action='forbid', prefix='configs/kept')
        client.put_bucket_overwrite_config(oss.PutBucketOverwriteConfigRequest(
            bucket=bucket, overwrite_configuration=oss.OverwriteConfiguration(rules=[rule])))
        told = client.get_bucket_overwrite_config(oss.GetBucketOverwriteConfigRequest(bucket=bucket))
        told = told.overwrite_configuration.rules[0]
        equal((told.action, told.prefix, len(told.id)), ('forbid', 'configs/kept', 36))
        put('configs/kept')
        refused(409, 'FileAlreadyExists', put, 'configs/kept')
        client.delete_bucket_overwrite_config(oss.DeleteBucketOverwriteConfigRequest(bucket=bucket))
        put('configs/kept')

    def public_access_is_blocked_and_opened():
        def told():
            answer = client.get_bucket_public_access_block(oss.GetBucketPublicAccessBlockRequest(bucket=bucket))
            return answer.public_access_block_configuration.block_public_access
        equal(told(), False)
        client.put_bucket_public_access_block(oss.PutBucketPublicAccessBlockRequest(
            bucket=bucket,
            public_access_block_configuration=oss.PublicAccessBlockConfiguration(block_public_access=True)))
        equal(told(), True)
        refused(403, 'AccessDenied', client.put_bucket_acl, oss.PutBucketAclRequest(bucket=bucket, acl='public-read'))
        client.delete_bucket_public_access_block(oss.DeleteBucketPublicAccessBlockRequest(bucket=bucket))
        equal(told(), False)

    def a_quota_is_set_obeyed_read_back_and_deleted():
        client.put_bucket_storage_quota(oss.PutBucketStorageQuotaRequest(
            bucket=bucket, quota_configuration=oss.QuotaConfiguration(storage_quota=1, mode='Strict')))
        told = client.get_bucket_storage_quota(oss.GetBucketStorageQuotaRequest(bucket=bucket)).quota_configuration
        equal((told.storage_quota, told.mode), (1, 'Strict'))
        check(told.current_usage > 1, told.current_usage)
        refused(403, 'QuotaExceeded', put, 'configs/new')
        client.delete_bucket_storage_quota(oss.DeleteBucketStorageQuotaRequest(bucket=bucket))
        put('configs/new')

    def a_policy_is_set_told_public_and_deleted():
        policy = ('{"Version":"1","Statement":[{"Action":["oss:GetObject"],"Effect":"Allow","Principal":["*"],'
                  f'"Resource":["acs:oss:*:*:{bucket}/*"]}}]}}')
        client.put_bucket_policy(oss.PutBucketPolicyRequest(bucket=bucket, body=policy))
        equal(client.get_bucket_policy(oss.GetBucketPolicyRequest(bucket=bucket)).body, policy)
        status = client.get_bucket_policy_status(oss.GetBucketPolicyStatusRequest(bucket=bucket))
        equal(status.policy_status.is_public, True)
        client.delete_bucket_policy(oss.DeleteBucketPolicyRequest(bucket=bucket))
        refused(404, 'NoSuchBucketPolicy', client.get_bucket_policy, oss.GetBucketPolicyRequest(bucket=bucket))

    def regions_are_described():
        told = client.describe_regions(oss.DescribeRegionsRequest()).region_info
        equal([info.region for info in told], [f'oss-{REGION}'])

    def public_access_is_blocked_for_the_account():
        def block(value):
            client.put_public_access_block(oss.PutPublicAccessBlockRequest(
                public_access_block_configuration=oss.PublicAccessBlockConfiguration(block_public_access=value)))
        block(True)
        told = client.get_public_access_block(oss.GetPublicAccessBlockRequest())
        equal(told.public_access_block_configuration.block_public_access, True)
        refused(403, 'AccessDenied', client.put_bucket_acl, oss.PutBucketAclRequest(bucket=bucket, acl='public-read'))
        client.delete_public_access_block(oss.DeletePublicAccessBlockRequest())
        client.put_bucket_acl(oss.PutBucketAclRequest(bucket=bucket, acl='private'))

    def what_is_told_of_a_bucket_is_told():
        equal(client.get_bucket_location(oss.GetBucketLocationRequest(bucket=bucket)).location, f'oss-{REGION}')
        check(client.get_bucket_stat(oss.GetBucketStatRequest(bucket=bucket)).object_count > 0, 'no object is counted')
        equal(client.get_bucket_versioning(oss.GetBucketVersioningRequest(bucket=bucket)).version_status, None)

    return [an_object_acl_is_set_and_read_back, object_tags_are_set_read_back_and_deleted,
            a_link_is_put_read_and_read_through, bucket_tags_are_set_read_back_and_filter_the_list,
            cors_rules_are_set_asked_read_back_and_deleted, a_referer_list_is_set_and_read_back,
            a_website_is_set_read_back_and_deleted, lifecycle_rules_are_set_read_back_and_deleted,
            logging_is_switched_on_and_off, who_pays_is_set_and_read_back,
            what_must_not_be_overwritten_is_set_obeyed_read_back_and_deleted, public_access_is_blocked_and_opened,
            a_quota_is_set_obeyed_read_back_and_deleted, a_policy_is_set_told_public_and_deleted,
            regions_are_described, public_access_is_blocked_for_the_account, what_is_told_of_a_bucket_is_told]
